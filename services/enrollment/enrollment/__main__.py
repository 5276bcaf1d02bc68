"""`enrollment migrate`, `enrollment topics apply`, `enrollment run`."""

from enrollment.app import service
from kit.cli import command_line

main = command_line(service)

if __name__ == "__main__":
    main()
