"""A tournament in a box: what the bot runs against before anyone has keys."""
