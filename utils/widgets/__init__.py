"""Panels to play with, one module for each; they show what a notebook has computed, and no science is inside.

layers       items in the layers of a network, and probes of different capacity      chapters 01, 02
games        games of Othello, and the boards that a network believes in             chapter 03
edits        one square of a board is edited: moves before and after                 chapter 04
statements   statements on two components; a statement under a dose                  chapters 05, 06
thresholds   the threshold of a lie detector                                         chapter 06
latents      the latents of a sparse autoencoder                                     chapters 07, 08

`panel` has what all are made of: the panel itself, rows of controls, sheets of drawings.
"""
