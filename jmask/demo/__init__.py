"""The main job: a tagger of code words, trained on the documentation that comes with every Python."""
