"""`make demo`: one user's calls onto lc0, compared with what tshark finds without our code."""
