"""How does a decoder run here? Loading, forward passes, generation: the only place that pads.

Read `forward.py` first. Importing this package loads nothing; its modules load torch.
"""
