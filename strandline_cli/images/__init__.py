"""The container images: a minimal Debian 13 as a provider would lease it, and what is built on top of it."""
