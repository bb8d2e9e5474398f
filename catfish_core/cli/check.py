"""`check`: what would keep CatFish from starting or working well here.  [no torch]"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from catfish_core.cli.terminal import remark, say, say_json
from catfish_core.lab.checks import Place, check
from catfish_core.workspace import Workspace


def check_all(asked: Namespace) -> int:
    """Say every problem; 1 where one is serious."""
    problems = check(Place(Workspace.default(), asked.port, asked.address))
    if asked.json:
        say_json([asdict(problem) for problem in problems])
    elif not problems and not asked.quiet:
        say("All is well: CatFish can start here.")
    for problem in [] if asked.json else problems:
        remark(f"{'Problem' if problem.serious else 'Mind'}: {problem.what}")
        remark(f"  {problem.hint}")
    return int(any(problem.serious for problem in problems))
