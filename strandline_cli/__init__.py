"""The controller: what ./strandline does once it has its Python environment."""
