"""What is the policy asked? Prompts are collected, mixed by category, split, and sorted."""

from hrlaif.prompts.sources import Prompts, collect

__all__ = ["Prompts", "collect"]
