"""Entry point of `python -m strandline_cli`, which ./strandline runs."""

from strandline_cli.main import main

if __name__ == "__main__":
    main()
