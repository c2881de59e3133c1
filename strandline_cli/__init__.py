"""The controller: what ./strandline does once its Python environment stands."""
