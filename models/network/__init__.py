"""
TSMixer-Ext and its variants: layers, bodies, configuration and interpretation, in torch.

It imports nothing of ``bot``. Read ``dropout``, ``layers``, ``tsmixer_ext``, ``factor_history``, ``network_config``,
``_network_bodies``, ``network``, ``seeds``, ``interpret``.
"""
