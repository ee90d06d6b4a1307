"""Webhooks: requests are sent to a site's own program, whose people answer by a signed callback."""
