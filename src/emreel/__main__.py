"""``python -m emreel`` is the command ``emreel``."""

from emreel.cli import main

main()
