"""What others read: a recording's exchanges in forms that tools outside know."""
