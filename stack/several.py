"""Several commands of one program in one process: importing a service takes longer than most of its commands.

python -m stack.several -m billing -- topics apply -- migrate
"""

import runpy
import sys


def main() -> None:
    """Run the commands one after the other; the first that fails ends it, with its status."""
    program, *commands = _split(sys.argv[1:], "--")
    for arguments in commands:
        sys.argv = [program[-1], *arguments]
        print(f"$ {program[-1]} {' '.join(arguments)}", flush=True)
        try:
            if program[0] == "-m":
                runpy.run_module(program[1], run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(program[0], run_name="__main__")
        except SystemExit as ended:
            if ended.code:
                raise


def _split(words: list[str], at: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == at:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


if __name__ == "__main__":
    main()
