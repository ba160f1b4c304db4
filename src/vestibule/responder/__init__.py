"""The side that answers: a model, a webhook, and the actions they may call for a contact."""
