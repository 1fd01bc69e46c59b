def pytest_configure(config):
    config.addinivalue_line("markers", "allow_failures: requests of the page may fail, as the browser then says on its console")
