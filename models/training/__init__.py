"""
Training of a network: batches of eras, losses, the loop, checkpoints, several processes; in torch.

It imports ``models.network``. Read ``training_values``, ``era_batch``, ``era_order``, ``era_feed``, ``losses``,
``training``, ``validation``, ``training_state``, ``checkpoint``, ``distributed``.
"""
