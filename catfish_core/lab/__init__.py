"""A lab that shares one machine: who is who, what they use, what they are told."""
