"""Humans answer in Slack: what they see (`card`, `modals`) is made apart from how it gets there.

Who looks at a card decides by it alone, and the agent chooses much of what stands on it. So what
is shown is made by pure functions, of which every text from outside goes through `text`.
"""
