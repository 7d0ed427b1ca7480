"""``python -m cratermill`` is ``cratermill``."""

from .cli import main

if __name__ == "__main__":
    main()
