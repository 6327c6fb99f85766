"""What both databases need from SQLAlchemy: fast statements, upserts, group commits."""
