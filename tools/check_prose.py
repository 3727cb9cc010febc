#!/usr/bin/env python3
"""Refuses phrases that readers of this project could not understand. `make lint` runs it.

Help, errors, comments and documents are read in a hurry, often by people whose first language is not English. Each phrase below
stood in this repository and is either a riddle (an inverted negative, a literary inversion, an "it" without a noun) or not
English. The second column says what to write instead. Add a phrase when a reader stumbles over one.

    tools/check_prose.py [FILE…]        all text files of the repository by default
    tools/check_prose.py --test         the phrases against their examples
"""

import pathlib
import re
import subprocess
import sys

# (regular expression, an example, what to write instead)
PHRASES = [
    (r"\bfor for ever\b", "is not waited for for ever", "cannot block the queue indefinitely"),
    (r"\bfor ever\b", "holds a place for ever", "name the limit, or write: indefinitely"),
    (r"\bwaited for\b", "one that comes before it is waited for", "say who waits for what"),
    (r"\bthat (is|are) none\b", "for an image that is none", "if the data is not a valid image"),
    (r"\b(is|are) none\b", "0 frames are none", "capacity must be at least 1"),
    (r"\bthere (is|are) none\b", "needs a calibration, and there is none", "the package has no calibration"),
    (r"\bgraver\b", "and graver", "more severe"),
    (r"\bNot told by any file\b", "Not told by any file, and taken as published", "Not stored in the checkpoint; the published default is used"),
    (r"\btaken for granted\b", "the order is taken for granted", "assumed"),
    (r"\bas there is to see\b", "once it has seen as much as there is to see", "after warm-up at the largest input"),
    (r"\bWho waits for\b", "Who waits for an answer", "Receives the result"),
    (r"\bto be had\b", "is not to be had", "is not available"),
    (r"\bnot to be trusted\b", "ε is not to be trusted", "do not trust ε"),
    (r"\bwithout a word\b", "is refused without a word", "silently"),
    (r"\bin vain\b", "places looked at in vain", "without success"),
    (r"\bmade anywhere\b", "latents made anywhere", "latents from any network"),
    (r"\bgoes? by the name\b", "it goes by the name", "is called"),
    (r"\b(is|are) no (file|package|image|mask|result|category|number|model|list|dictionary|text|table|fraction|token|name)\b", "this is no package", "is not a package"),
    (r"\bon (its|their) way\b", "frames on their way", "in flight; unanswered"),
    (r"\bas one (may|might|would)\b", "as one would", "say what happens"),
    (r"\bit is so\b", "is it so on others?", "say what is true"),
    (r"\bwhat (it|they) (is|are) like\b", "what good images are like", "name the property"),
    (r"\bvary as one\b", "pixels that vary as one", "vary together"),
    (r"\bthe very (network|same|images|one)\b", "the very network", "the network that …"),
    (r"\bhowever (many|much|long|large)\b", "however many there are", "for any number"),
    (r"\bsave (for|that)\b", "save for one", "except"),
    (r"\bbeside other work\b", "two cores beside other work", "with other work running"),
    (r"\b(image|line|object|frame|pixel|value|byte|colour|stage|token|batch|channel|second|step)s? an? (image|line|frame|batch|value|second|pixel|byte|stage|token)\b", "one object a line", "one object per line"),
    (r"\bone a (line|step|stage|token|kind|second|row)\b", "names, one a line", "one per line"),
]
