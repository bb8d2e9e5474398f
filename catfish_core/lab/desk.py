"""The desk: the one door through which people change anything.  [no torch]

Every method looks whether the person may, does it, and writes a line of the audit log, for refusals and failures
too. Pages and routes ask here; what a button shows or hides protects nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from catfish_core import estimate, runs, sweeps
from catfish_core.catalog import BUILTIN_DATASETS
from catfish_core.config import RunConfig, SweepConfig
from catfish_core.data import library
from catfish_core.errors import AccessError, DatasetError, RunError, SignedOut, StorageError
from catfish_core.jobs import directory, queue
from catfish_core.jobs.directory import Job
from catfish_core.lab import access, accounts, audit, messages, services, sessions, usage
from catfish_core.lab.access import Action, Role, User
from catfish_core.lab.usage import Waste
from catfish_core.runs import Run
from catfish_core.sweeps import Sweep
from catfish_core.workspace import Workspace

CONSOLE = User("(command line)", "admin")  # whoever may read the workspace's files; no account can be called so


@dataclass
class Deed:
    """What is being done to what, as the audit log will say; `object` may be made more exact on the way."""

    user: User
    does: str
    object: str


class Desk:
    """What one person may do in a workspace.

    `user` may be a function that says who it is at that very moment: a button is pressed long after it was drawn.
    """

    def __init__(self, workspace: Workspace, user: User | Callable[[], User]) -> None:
        self.workspace = workspace
        self._user = user

    @property
    def user(self) -> User:
        """Who asks; raises SignedOut where nobody does any more."""
        return self._user if isinstance(self._user, User) else self._user()

    def may(self, action: Action, owner: str = "") -> bool:
        """Whether this person may do `action` to something of `owner`: for buttons."""
        return access.may(self.user, action, owner)

    @contextmanager
    def deed(self, does: str, object: str, action: Action, owner: str = "") -> Iterator[Deed]:
        """The frame of everything that changes something: asks first, and writes down what came of it.

        Raises AccessError for whoever may not do `action` to what belongs to `owner`; nothing is done then.
        """
        deed = Deed(self._allowed(does, object, action, owner), does, object)
        try:
            yield deed
        except BaseException as error:
            outcome: audit.Outcome = "refused" if isinstance(error, AccessError) else "failed"
            audit.write(self.workspace, deed.user.name, does, deed.object, outcome)
            raise
        audit.write(self.workspace, deed.user.name, does, deed.object, "done")

    def require(self, does: str, object: str, action: Action, owner: str = "") -> None:
        """Raise AccessError, and write the refusal down, where this person may not; for steps before a deed."""
        self._allowed(does, object, action, owner)

    def _allowed(self, does: str, object: str, action: Action, owner: str) -> User:
        try:
            user = self.user
        except SignedOut:
            audit.write(self.workspace, "", does, object, "refused")
            raise
        if not access.may(user, action, owner):
            audit.write(self.workspace, user.name, does, object, "refused")
            raise access.refusal(user, action, owner)
        return user

    # Trainings and sweeps

    def start(self, config: RunConfig) -> Run:
        """A new run with `config`, that waits for its turn."""
        with self.deed("start run", config.title, "start") as deed:
            self._room()
            run = queue.submit(self.workspace, config, deed.user.name)
            deed.object = run.id
            return run

    def sweep(self, config: RunConfig, settings: SweepConfig) -> Sweep:
        """A new sweep over the rates for `config`, that waits for its turn."""
        with self.deed("start sweep", config.title, "start") as deed:
            self._room()
            sweep = queue.submit_sweep(self.workspace, config, settings, deed.user.name)
            deed.object = sweep.id
            return sweep

    def again(self, job: Job) -> None:
        """Go on with a job that is paused, stopped or broken."""
        with self._changing("go on with", job):
            queue.again(self.workspace, job)

    def pause(self, job: Job) -> None:
        """Let a job rest, so that it can go on where it was."""
        with self._changing("pause", job):
            queue.pause(self.workspace, job)

    def stop(self, job: Job) -> None:
        """End a job; its best weights stay."""
        with self._changing("stop", job):
            queue.stop(self.workspace, job)

    def delete(self, job: Job) -> None:
        """Remove a job for good; raises RunError while its worker lives."""
        with self._changing("delete", job, "delete"):
            directory.delete(job)

    def note(self, run: Run, text: str) -> None:
        """Replace what people wrote about a run."""
        with self._changing("write note of", run):
            run.set_note(text)

    def measure(self, config: RunConfig) -> None:
        """Have the pace of `config` measured. Asked every second, so only a refusal is written down."""
        self.require("measure", config.title, "start")
        estimate.ask(self.workspace, config)

    @contextmanager
    def _changing(self, does: str, job: Job, action: Action = "change") -> Iterator[Deed]:
        find = sweeps.find if isinstance(job, Sweep) else runs.find
        if find(self.workspace, job.id) != job:  # its id is checked there
            raise RunError(
                f"There is no {job.noun} called “{job.id[:80]}” here.", "The Runs page lists those there are."
            )
        with self.deed(f"{does} {job.noun}", job.id, action, job.owner()) as deed:
            yield deed

    def extend(self, run: Run, epochs: int) -> None:
        """Train a finished or stopped run `epochs` more, with its optimizer as it was."""
        with self._changing("train longer", run):
            self._room()
            queue.again(self.workspace, run, lambda: runs.extend(run, epochs))

    def prioritise(self, job: Job, priority: int) -> None:
        """Move a waiting job: before all others (above 0) only an administrator may put one."""
        with self._changing("move", job, "change") as deed:
            if priority > 0 and not access.may(deed.user, "manage"):
                raise access.refusal(deed.user, "manage")
            queue.prioritise(self.workspace, job, priority)

    # The machine

    def clean(self, waste: Waste) -> None:
        """Remove what can go without loss; what somebody has made useful since is left alone."""
        with self.deed("clean up", f"{waste.kind} of {waste.owner or 'everybody'}", "delete", waste.owner):
            usage.remove(self.workspace, waste)

    def announce(self, text: str, hours: float | None) -> None:
        """Say `text` to all for `hours`; None: until it is taken back."""
        with self.deed("announce", text, "manage") as deed:
            messages.post(self.workspace, text, deed.user.name, hours)

    def take_back(self, message: str) -> None:
        """Take a message to all back."""
        with self.deed("take back message", message, "manage"):
            messages.withdraw(self.workspace, message)

    def restart_predictions(self) -> None:
        """End the process that answers with predictions; a new one comes up."""
        with self.deed("restart", "predictions", "manage"):
            services.restart_predictions(self.workspace)

    def restart_queue(self) -> None:
        """End the process that starts the runs, which go on; a new one comes up."""
        with self.deed("restart", "queue", "manage"):
            services.restart_queue(self.workspace)

    def _room(self) -> None:
        """Raise StorageError where this person has filled the disk that is theirs."""
        if full := usage.over_quota(self.workspace, self.user.name):
            raise StorageError(full, "Delete what you no longer need: the page “Lab” shows what takes the space.")

    # Datasets

    def prepare(self, id: str) -> Path:
        """Draw or fetch a built-in dataset in the background; the log to poll."""
        with self.deed("prepare dataset", id, "import"):
            if id not in {row.id for row in BUILTIN_DATASETS}:
                raise DatasetError(f"There is no built-in dataset called “{id[:80]}”.")
            return library.start_prepare(self.workspace, id)

    def add(self, name: str, source: Path) -> Path:
        """Import `source` as a dataset of this person's in the background; the log to poll.

        A member may import what was uploaded; any other folder of this machine only an administrator.
        """
        uploads = self.workspace.downloads.resolve()
        uploaded = uploads in source.resolve().parents
        with self.deed("import dataset", name, "import" if uploaded else "manage") as deed:
            self._room()
            return library.start_add(self.workspace, name, source, deed.user.name)

    def delete_dataset(self, id: str) -> None:
        """Remove a dataset for good; raises DatasetError while a run uses it."""
        with self.deed("delete dataset", id, "delete", library.owner(self.workspace, id)):
            library.delete(self.workspace, id)

    # People

    def add_user(self, name: str, role: Role, password: str | None) -> accounts.Account:
        """A new account; without a password one of an outside provider."""
        with self.deed(f"add {role}", name, "manage"):
            return accounts.add(self.workspace, name, role, password)

    def set_role(self, name: str, role: Role) -> None:
        """Make somebody a viewer, member or admin."""
        with self.deed(f"make {role}", name, "manage"):
            accounts.set_role(self.workspace, name, role)

    def set_disabled(self, name: str, disabled: bool) -> None:
        """Shut somebody out, or let them in again."""
        with self.deed("disable account" if disabled else "enable account", name, "manage"):
            accounts.set_disabled(self.workspace, name, disabled)

    def set_password(self, name: str, password: str) -> None:
        """Give somebody another password; their sessions end."""
        with self.deed("set password", name, "manage"):
            accounts.set_password(self.workspace, name, password)

    def change_password(self, old: str, new: str, address: str = "") -> None:
        """Change one's own password; all one's sessions end. AccessError where `old` is not the present one."""
        name = self.user.name
        with self.deed("change password", name, "account", name):
            accounts.check(self.workspace, name, old, address)
            accounts.set_password(self.workspace, name, new)

    def sign_out_everywhere(self, name: str) -> None:
        """End all sessions of `name`."""
        with self.deed("sign out everywhere", name, "account", name):
            sessions.end_all(self.workspace, name)
