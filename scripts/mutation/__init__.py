"""Mutation testing: are there changes to the code that no test notices?"""
