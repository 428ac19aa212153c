"""Deliveries: what `deliver` of portals.yaml exports after a schedule, to a folder or by mail.

rounds: which tick is due ─► attempts: once per tick, tried again, then an incident ─► making: export, folder, mail ─► letter
"""
