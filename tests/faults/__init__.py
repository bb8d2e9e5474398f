"""The fault test: trainings interrupted in every way there is must end as if nothing had happened."""
