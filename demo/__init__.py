"""The main job on a realistic data set, told step by step."""
