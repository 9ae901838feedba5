"""From runs and translations to one page."""
