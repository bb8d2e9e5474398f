"""What the pages share: the router, forms, charts, caches and a few small browser components.  [no torch]"""
