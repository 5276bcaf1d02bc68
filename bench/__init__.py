"""Benchmarks of the kit and of the main job, each against a baseline measured in the same run.

`python -m bench` runs them all; `python -m bench main_job_bulk_per_s …` only those named.
"""
