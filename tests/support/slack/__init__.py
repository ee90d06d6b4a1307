"""The Slack that tests talk to: a workspace, its people, and one app, on loopback.

Behind it is npm's emulate, which nobody here wrote: it has the messages, threads, reactions and
channels, and the views with their trigger ids, which live for less than 3 seconds (it counts whole
seconds, so some live 2). Before it stands what it lacks, made from Slack's own documentation
(docs.slack.dev) and held against Slack's own client libraries in real/test_slack_counterpart.py:

- `web`: the Web API as clients see it. Tokens, scopes and rate limits, what Slack's validator
  refuses (`blocks`), user groups, users as Slack tells of them (`people`), and faults as a test
  orders them. All other methods are emulate's.
- `payloads`, `delivery`: interactions, events and slash commands, signed and posted, and events
  posted again as the Events API does. `afterwards`: response URLs.
- `socket`: Socket Mode.
- `acting`, `workspace`: what a test holds.

From the documentation alone, with nothing to hold it against: the words of a validator's errors
and that it refuses fields it does not know, what a used or expired response URL answers,
redelivery over Socket Mode (an event comes again as over HTTP, an interaction does not), and the
fields of users who are deactivated or of another workspace. A message that was updated with blocks
bears `edited` here, as emulate has it; Slack's documentation of chat.update says that the mark is
not shown then, so nobody may rely on it, nor on its absence.
"""

from support.slack.blocks import Json
from support.slack.delivery import Answer
from support.slack.payloads import Forgery
from support.slack.people import Person
from support.slack.workspace import Slack

__all__ = ["Answer", "Forgery", "Json", "Person", "Slack"]
