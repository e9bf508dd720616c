"""The nouns: frozen, serialisable records that know nothing about files, clocks or torch."""
