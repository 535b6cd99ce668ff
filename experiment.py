import sys, time, json
import numpy as np, torch
from torch import nn
torch.set_num_threads(1)
from invrec_rllib.scenario import load_scenario
from invrec_rllib.sim.params import compile_scenario
from invrec_rllib.sim.randomness import EpisodeStreams, episode_keys
from invrec_rllib.policies.tuned import shipped_parameters
from invrec_rllib.learning.pathwise.world import World, straight_through
from invrec_rllib.learning.pathwise.heuristic import Heuristic
from invrec_rllib.evaluation.rollout import rollout

name=sys.argv[1]; steps=int(sys.argv[2]); lr=float(sys.argv[3]); B=int(sys.argv[4]); tag=sys.argv[5]; seed=int(sys.argv[6]) if len(sys.argv)>6 else 0
sc=load_scenario(name); params=compile_scenario(sc)
tuned=shipped_parameters("coordinated",sc,information="full")
from invrec_rllib.policies.coordinated import CoordinatedParameters
chosen=CoordinatedParameters.from_values(tuned.parameters)
w=World(params); h=Heuristic(w,chosen)
FIXED=("cover_periods","persistence")
class Net(nn.Module):
    def __init__(s,nf,out,hid=48):
        super().__init__()
        s.a=nn.Linear(nf,hid); s.b=nn.Linear(2*hid,hid); s.c=nn.Linear(hid,out)
        nn.init.zeros_(s.c.weight); nn.init.zeros_(s.c.bias)
    def forward(s,f):
        x=torch.relu(s.a(f)); m=x.mean(dim=1,keepdim=True).expand_as(x)
        y=torch.relu(s.b(torch.cat([x,m],-1)))
        return tuple(s.c(y).unbind(-1))
bounds=CoordinatedParameters.bounds()
raw={k:nn.Parameter(torch.tensor((v-bounds[k][0])/(bounds[k][1]-bounds[k][0]),dtype=torch.float32)) for k,v in chosen.values().items() if k not in FIXED}
logt=nn.Parameter(torch.tensor(float(np.log(0.05))))
def P():
    d={k:bounds[k][0]+(bounds[k][1]-bounds[k][0])*v for k,v in raw.items()}
    d["log_temperature"]=logt
    return d
def play(keys,correct,rec=None):
    streams=EpisodeStreams(params,keys); s=w.start(len(keys)); tot=0.
    p=P()
    for t in range(params.num_periods):
        o,e=h.decide(s,s.affinity,p,correct)
        s,pr=w.play(s,order=straight_through(o.round(),o),exposure=e,draws=streams.next_period())
        tot=tot+pr
    return tot
torch.manual_seed(seed)
o=None
nf=h.features(*([w.start(2),h.periods[0],h.free(w.start(2).affinity,0),w.start(2).position]+[torch.zeros(2,params.num_products)]*5)).shape[-1]
net=(Net(nf,2),Net(nf+6,1))
h.rounds=int(sys.argv[8]) if len(sys.argv)>8 else 3
ORD=float(sys.argv[9]) if len(sys.argv)>9 else 1.
VN=400
ref=rollout(params,"coordinated",seed=5000011,episodes=VN,information="full").profit
silo=rollout(params,"silo",seed=5000011,episodes=VN,information="full").profit
def validate():
    with torch.no_grad(): pr=play(episode_keys(5000011,VN),net).double().numpy()
    d=pr-ref
    return pr.mean(), d.mean()/ref.mean()*100, 1.96*d.std()/VN**.5/ref.mean()*100, pr.mean()/silo.mean()*100-100
print("coord",ref.mean(),"silo",silo.mean(),"coord/silo",ref.mean()/silo.mean()*100-100,"nf",nf,flush=True)
for lt in ([.01,.05,.1,.2] if steps==0 else []):
    logt.data.fill_(float(np.log(lt))); t0=time.time(); print(lt,validate(),time.time()-t0,flush=True)
logt.data.fill_(float(np.log(.02)));logt.requires_grad_(False)
h.backward_temperature=float(sys.argv[7]); RL=float(sys.argv[10]) if len(sys.argv)>10 else .3
vec=[*net[0].parameters(),*net[1].parameters()]
opt=torch.optim.Adam([{"params":net[1].parameters(),"l":lr},{"params":net[0].parameters(),"l":lr*ORD},{"params":list(raw.values()),"l":lr*RL}],lr=lr,betas=(.9,.98))
allp=[*vec,*raw.values()]
t0=time.time(); best=-1e9
print(0,validate(),flush=True)
ema=None
import copy
for k in range(steps):
    frac=k/steps; f=min(1,k/10)*(1 if frac<.4 else max(.02,(1-frac)/.6))
    for g in opt.param_groups: g["lr"]=g["l"]*f
    keys=episode_keys(4000037+seed,range(k*B,(k+1)*B))
    pr=play(keys,net)
    opt.zero_grad(); (-pr.mean()/params.reward_scale/params.num_periods).backward()
    gn=nn.utils.clip_grad_norm_(allp,.2)
    opt.step()
    with torch.no_grad():
        for kk,v in raw.items(): v.clamp_(0 if kk not in("cap_tightness","served_spread","shortage_spread") else .001,1)
    if k==0: print("step s",time.time()-t0,flush=True)
    if (k+1)%max(1,steps//12)==0:
        v=validate(); print(k+1,"gn %.3f"%gn,["%.2f"%x for x in v],"%.0fs"%(time.time()-t0),flush=True)
        if v[0]>best:
            best=v[0]; torch.save({"net":[n.state_dict() for n in net],"raw":raw},f"/work/scratch/pathwise/{tag}.pt")
print({k:round(float(v),3) for k,v in P().items()})
