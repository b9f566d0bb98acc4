"""The semantics of the seam as functions on tables in memory, for stores that have no statements for all of it.

A write takes a tenant's :class:`~keepwell.storage.plain.tables.Tables` and changes them; a read looks at them. Whoever
holds all of a tenant's rows may give them whole, as the reference store does; whoever holds them elsewhere gives the
rows that an operation can touch, and keeps the difference.
"""
