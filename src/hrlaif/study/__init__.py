"""How far can this judge be trusted?"""
