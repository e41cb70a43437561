"""
TSMixer-Ext and its variants: layers, bodies, configuration and interpretation, in torch.

It imports nothing of ``bot``. Read ``layers``, ``tsmixer_ext``, ``factor_history``, ``network_config``,
``_network_bodies``, ``network``, ``seeds``, ``interpret``.
"""
