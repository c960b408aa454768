"""The Forget set page: choosing pictures or rows on a map, by rules and one by one."""
