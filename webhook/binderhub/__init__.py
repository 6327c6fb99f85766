"""BinderHub's build API, so that its clients work unchanged."""
