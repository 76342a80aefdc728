"""Training: facesets in, a model folder of checkpoints out, and from that a .vfxmodel.

`bank` holds a faceset in memory, `disguise` measures how the performers differ, `data` draws batches,
`adversarial` is one step of painter and judge, `loop` spends the budget, `score` and `preview` say how it goes,
`checkpoint` keeps it, `package` exports it. Only this package and `models` import torch.
"""
