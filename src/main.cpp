#include "pinfold/server/server.hpp"

extern char** environ;

int main(int argc, char** argv) { return pinfold::server::run(argc, argv, environ); }
