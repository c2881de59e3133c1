"""The network in a box: each step of `./strandline demo` in a module of its own."""
