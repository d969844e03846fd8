"""One file per resource: what is asked, whom to ask, what to answer. No rules of the business live here."""
