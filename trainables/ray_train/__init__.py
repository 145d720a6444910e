"""The Ray Trainables, and the processes of Ray Train that run the engine."""
