"""Where memory is kept: the seam (:mod:`keepwell.storage.base`) and what stands behind it."""
