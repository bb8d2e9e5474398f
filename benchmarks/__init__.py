"""How fast the engine is: against the course's loop, and against the bare limit of the machine."""
