"""Reinforcement learning from AI feedback: labels, rewards, policies, and what they are worth.

Read first: `pipeline.py` (the flow), `records.py` (the nouns), `protocols.py` (the verbs).
"""
