"""``python -m tests.pipeline.held_prepare FOLDER CONFIG``: ``cratermill prepare CONFIG``; its first piece waits for FOLDER/go."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from cratermill.cli import main
from cratermill.samples import store

if __name__ == "__main__":
    folder, append = Path(sys.argv[1]), store._Writer._append

    def waiting(self, *given) -> None:
        (folder / "held").touch()
        while not (folder / "go").exists():
            time.sleep(0.05)
        append(self, *given)

    store._Writer._append = waiting
    sys.argv = ["cratermill", "prepare", sys.argv[2]]
    main()
