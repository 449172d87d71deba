"""The catalogue of invariants, whole: importing any module of this package registers those of a page, too."""

from properties.invariants import page as page
