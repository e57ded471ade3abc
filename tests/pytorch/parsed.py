"""Print what a script makes of each list of arguments, as JSON, or why it refuses it: `parsed.py SCRIPT LISTS`."""

import contextlib
import io
import json
import runpy
import sys

script, lists = sys.argv[1], json.loads(sys.argv[2])
parse = runpy.run_path(script, run_name="parsed")["parse_arguments"]
found = []
for arguments in lists:
    sys.argv = [script, *arguments]
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            found.append(vars(parse()))
        except SystemExit as refusal:
            found.append({"code": refusal.code, "said": said.getvalue().splitlines()[-1]})
print(json.dumps(found, default=str))  # noqa: T201
