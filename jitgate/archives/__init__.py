"""Edge: stores of objects that lock what they are given: nobody deletes it before its time."""
