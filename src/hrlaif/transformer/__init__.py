"""How does a decoder run here? Loading, forward passes, generation: the only place that pads.

Read `forward.py` first. Importing this package loads nothing; its modules load torch.
"""

import os

# Fresh tensors of many MB cost more in page faults than in arithmetic; Linux reads this once.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
