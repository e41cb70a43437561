"""
Make the parts of the documentation that follow from the code.

``python -m docs.generator`` writes the reference (:mod:`docs.generator.pages`). ``python -m docs.generator.first_steps``
plays the five steps of the README against the sandbox and puts their output into it, and
``python -m docs.generator.screenshots`` takes its pictures.
"""
