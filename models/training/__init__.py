"""
Training of a network: batches of eras, losses, the loop, checkpoints, several processes; in torch.

It imports ``models.network``. Read ``training_values``, ``era_batch``, ``_era_order``, ``_era_feed``, ``_losses``,
``_precision``, ``_weight_average``, ``_score_scale``, ``training``, ``_validation``, ``_training_state``, ``checkpoint``,
``distributed``.
"""
